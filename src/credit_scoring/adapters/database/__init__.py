"""Facts, records and roles in one SQL database; SQL is written here and nowhere else."""
