"""The data rooms: from folders, zips and published lists to samples, one reader a file."""
