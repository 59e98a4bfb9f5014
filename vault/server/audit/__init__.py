"""What a server does about its audit beside the calls: positions, checks, publishing."""
