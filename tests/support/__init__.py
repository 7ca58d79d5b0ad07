"""Clips, motion fields and programs that several tests share."""
