"""Pictures that a person can click on, paint on, or cover with a square; by mouse, finger and keyboard."""
