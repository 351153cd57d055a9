"""What is known, in SQL. Every change of a status is a compare-and-set; rules live in indexes."""
