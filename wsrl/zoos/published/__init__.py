"""Published zoos (``.npy`` files, Zenodo record 10835106): read as they are, imported, exported."""
