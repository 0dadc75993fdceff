"""Rotated images read tile by tile, each member of a population with its own angle."""

from __future__ import annotations

import torch
from torch import Tensor


class TiledRotation:
    """Rotates square images about their centre and cuts them into tiles, in one gather.

    Rotating is linear in the pixels: every pixel of the result is a weighted sum of at most 4 of
    the image's (1 with ``nearest``). torchvision rotates each single-pixel image once an angle and
    so says which, and every image after that costs a look-up.
    """

    def __init__(self, size: int, tile_size: int, interpolation: str) -> None:
        self.size, self.interpolation = size, interpolation
        self.taps = 1 if interpolation == "nearest" else 4
        self.order = tile_order(size, tile_size)
        self._maps: dict[float, tuple[Tensor, Tensor]] = {}
        self._last: tuple[Tensor, Tensor, Tensor] | None = None  # angles, sources, shares

    def apply(self, images: Tensor, angles: Tensor) -> Tensor:
        """Rotate each member's images ``(P, S, H * W)`` by ``angles (P,)``, counter-clockwise.

        Returns:
            ``(P, S, tiles, pixels of a tile)``; what comes from outside of an image is 0.
        """
        sources, shares = self._maps_of(angles)
        total = torch.zeros((), device=images.device, dtype=images.dtype)
        for tap in range(self.taps):
            where = sources[tap, :, None].expand(*images.shape[:2], -1)
            total = total + images.gather(2, where) * shares[tap, :, None].to(images.dtype)
        return total.view(*images.shape[:2], *self.order.shape)

    def sources(self, angles: Tensor) -> Tensor:
        """Return the pixel that each of a rotated, tiled image comes from, where none are mixed.

        Returns:
            ``(P, H * W)`` int32; -1 where it comes from outside.
        """
        sources, shares = self._maps_of(angles)
        return sources[0].where(shares[0] > 0, -1).int()

    def _maps_of(self, angles: Tensor) -> tuple[Tensor, Tensor]:
        """Return source pixels and their shares, each ``(taps, P, H * W)``, in tile order."""
        if self._last is None or self._last[0] is not angles:  # one population, step after step
            maps = [self._map(angle) for angle in angles.tolist()]
            sources, shares = (
                torch.stack(part, 1).to(angles.device) for part in zip(*maps, strict=True)
            )
            self._last = angles, sources, shares
        return self._last[1:]

    def _map(self, angle: float) -> tuple[Tensor, Tensor]:
        if angle not in self._maps:
            from torchvision.transforms import InterpolationMode
            from torchvision.transforms.v2.functional import rotate

            pixels = self.size**2
            single = torch.eye(pixels).view(pixels, 1, self.size, self.size)
            rotated = rotate(single, angle, InterpolationMode(self.interpolation))
            shares, sources = rotated.flatten(1)[:, self.order.flatten()].topk(self.taps, 0)
            self._maps[angle] = (sources, shares)
        return self._maps[angle]


def tile_order(size: int, tile_size: int) -> Tensor:
    """Return the pixels of every tile, row by row: ``(tiles, tile_size ** 2)``."""
    side = size // tile_size
    pixels = torch.arange(size**2).view(side, tile_size, side, tile_size)
    return pixels.transpose(1, 2).reshape(side**2, tile_size**2)
