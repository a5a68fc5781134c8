"""What changes for an LSTM from one version to another: the matrix of versions as data, as sentences and as a page."""
