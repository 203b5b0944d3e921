"""Heat maps and true boxes -> numbers, beside baselines."""
