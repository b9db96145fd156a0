"""What is true: pure rules of money, orders and merchants. Only `ids` asks the clock and chance."""
