"""The element types that every kernel is compiled for."""

ctypedef fused real:
    float
    double
