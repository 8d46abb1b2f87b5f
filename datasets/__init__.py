"""Speech in: clips, splits and features. No torch."""
