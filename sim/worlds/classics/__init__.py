"""Small worlds of the literature with known answers, to prove learners on."""
