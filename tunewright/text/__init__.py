"""Kernels on text that audit and prepare share: near duplicates, repair, personal data, language."""
