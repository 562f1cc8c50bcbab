from pipeline_checks import make_experiment, run_extract, toy_texts

__all__ = ["make_experiment", "run_extract", "toy_texts"]
