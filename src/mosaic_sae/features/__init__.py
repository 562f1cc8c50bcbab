"""From the tokens of an example to one sparse vector: pooling and binarisation."""
