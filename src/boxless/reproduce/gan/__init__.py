"""The tables and figures of GANs for Unsupervised Object Co-localization."""
