"""Trees of classes: made from a head, cut, judged, and compared with each other."""
