"""Progressive training of codecs that code a flow: motion first, then what is left, then everything.

Source: DCVC (NeurIPS 2021), appendix; OpenDCVCs (arXiv 2508.04491).
"""
