"""Boxes that a program found, looked at by a person: accepted, rejected, or dragged to where they belong."""
