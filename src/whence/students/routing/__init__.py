"""When a student answers and when the teacher is asked."""
