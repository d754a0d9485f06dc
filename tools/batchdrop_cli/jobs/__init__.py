"""What the commands do with uploads, tasks, jobs and results."""
