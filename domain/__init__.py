"""What is true: pure rules about money, orders and merchants. No I/O, no clock, no randomness."""
