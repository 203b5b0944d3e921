"""Services that know nothing of images: files, locks, checkpoints, run folders, devices, processes, progress."""
