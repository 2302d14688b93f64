"""Data: descriptions of raw folders, the HDF5 store, splits, imbalance tables, sampling, augmentation, loading."""
