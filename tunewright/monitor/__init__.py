"""Monitor: is what comes in and goes out still what the release was proven on?"""
