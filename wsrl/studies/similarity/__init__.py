"""How alike RNNs are, of zoos and files: distances by level, and what predicts what."""

from wsrl.studies.similarity.measuring import LEVELS, Level, Similarity, SimilaritySettings, measure
from wsrl.studies.similarity.subjects import Subjects, find_subjects
from wsrl.studies.similarity.writing import summarize, write_similarity

__all__ = [
    "LEVELS",
    "Level",
    "Similarity",
    "SimilaritySettings",
    "Subjects",
    "find_subjects",
    "measure",
    "summarize",
    "write_similarity",
]
