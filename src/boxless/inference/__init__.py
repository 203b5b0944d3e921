"""A checkpoint or a method's name -> a predictor; a folder -> heat maps -> boxes on disk."""
