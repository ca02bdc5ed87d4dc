"""What people and programs see: tables, JSON, CSV, pictures, progress, levels."""
