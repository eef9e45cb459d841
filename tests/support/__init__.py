"""What several tests share: a real server to send to, and fakes for stages."""
