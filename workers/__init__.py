"""Worker processes: one per model, born empty, speaking the job protocol to the gateway."""
