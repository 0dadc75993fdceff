"""How much RNNs that solve one task equally well differ, and what makes them differ less.

Source of the question, and of the directions beside ours: Huang, Singh, Martinelli and Rajan,
"Measuring and controlling solution degeneracy across task-trained recurrent neural networks"
(NeurIPS 2025).
"""

from wsrl.studies.degeneracy.measuring import Degeneracy, Group, find_degeneracy
from wsrl.studies.degeneracy.writing import summarize_degeneracy, write_degeneracy

__all__ = [
    "Degeneracy",
    "Group",
    "find_degeneracy",
    "summarize_degeneracy",
    "write_degeneracy",
]
