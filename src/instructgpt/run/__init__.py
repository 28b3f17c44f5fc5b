"""What every run needs: configuration, directory, seeds, schedules, progress, hardware choices."""
