"""`innerloop.fewshot.classifier`, by the name that it had in release 0.1.0."""

from innerloop.fewshot.classifier import Answers, FewShotClassifier

__all__ = ["Answers", "FewShotClassifier"]
