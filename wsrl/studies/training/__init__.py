"""``wsrl fit``, ``validate``, ``test`` and ``predict``: LightningCLI and a run's folder."""
