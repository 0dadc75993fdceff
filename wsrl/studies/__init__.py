"""Whole studies made of the other rooms: training runs, the demonstration, tables."""
