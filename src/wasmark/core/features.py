"""The features of the standard that a module may use, by the proposal that brought them in, and what each implies."""

from __future__ import annotations

import enum


class Feature(enum.Enum):
    """A proposal: one that has been merged into the standard (core, appendix "Change History"), or, the last three, one
    beside it."""

    MVP = "mvp"
    SIGN_EXTENSION = "sign-extension"
    SATURATING_TRUNCATION = "saturating-truncation"
    MULTI_VALUE = "multi-value"
    REFERENCE_TYPES = "reference-types"
    BULK_MEMORY = "bulk-memory"
    EXTENDED_CONST = "extended-const"
    MULTI_MEMORY = "multi-memory"
    MEMORY64 = "memory64"
    FUNCTION_REFERENCES = "function-references"
    TAIL_CALL = "tail-call"
    EXCEPTION_HANDLING = "exception-handling"
    LEGACY_EXCEPTIONS = "legacy-exceptions"
    SIMD = "simd"
    RELAXED_SIMD = "relaxed-simd"
    THREADS = "threads"
    WIDE_ARITHMETIC = "wide-arithmetic"
    CUSTOM_PAGE_SIZES = "custom-page-sizes"
    GC = "gc"

    __hash__ = object.__hash__
