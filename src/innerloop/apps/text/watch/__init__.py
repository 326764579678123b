"""What a stream of texts is about, and when that changes: labels of taught tasks, shares a window, charts, alerts."""
