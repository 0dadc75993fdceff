"""Rotated images read tile by tile, each member of a population with its own angle."""

import torch
from torch import Tensor


class TiledRotation:
    """Rotates square images about their centre and cuts them into tiles, in one gather.

    Every pixel of a result is one of the image's, or from outside: torchvision rotates an image of
    pixel numbers once an angle and so says which, and every image after that costs a look-up.
    """

    def __init__(self, size: int, tile_size: int) -> None:
        self.size, self.order = size, tile_order(size, tile_size)
        self._maps: dict[float, Tensor] = {}
        self._last: tuple[Tensor, Tensor] | None = None  # angles, sources

    def apply(self, images: Tensor, angles: Tensor) -> Tensor:
        """Rotate each member's images ``(P, S, H * W)`` by ``angles (P,)``, counter-clockwise.

        To ``(P, S, tiles, pixels of a tile)``; what comes from outside of an image is 0.
        """
        sources = self.sources(angles)[:, None].long()
        found = images.gather(2, sources.clamp(min=0).expand(*images.shape[:2], -1))
        return found.masked_fill(sources < 0, 0).view(*images.shape[:2], *self.order.shape)

    def sources(self, angles: Tensor) -> Tensor:
        """Return where each pixel of a result is from, ``(P, H * W)`` int32; -1: from outside."""
        if self._last is None or self._last[0] is not angles:  # one population, step after step
            maps = torch.stack([self._map(angle) for angle in angles.tolist()])
            self._last = angles, maps.to(angles.device)
        return self._last[1]

    def _map(self, angle: float) -> Tensor:
        if angle not in self._maps:
            from torchvision.transforms.v2.functional import rotate

            numbers = torch.arange(1.0, self.size**2 + 1).view(1, self.size, self.size)
            self._maps[angle] = rotate(numbers, angle).flatten()[self.order.flatten()].int() - 1
        return self._maps[angle]


def tile_order(size: int, tile_size: int) -> Tensor:
    """Return the pixels of every tile, row by row: ``(tiles, tile_size ** 2)``."""
    side = size // tile_size
    pixels = torch.arange(size**2).view(side, tile_size, side, tile_size)
    return pixels.transpose(1, 2).reshape(side**2, tile_size**2)
