"""Workers of several kinds behind one contract; what they do is none of their business."""
