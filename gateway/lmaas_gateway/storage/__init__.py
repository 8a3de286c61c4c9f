"""What the gateway keeps in a database: who may call, what they may, what they did, and what it cost."""
