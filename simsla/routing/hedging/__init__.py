"""When a second attempt is sent beside a first one that is late: delays, head-room and the budget."""
