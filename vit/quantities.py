"""Durations and sizes in words."""


def duration(seconds: float) -> str:
    """Such as `40 seconds`, `12 minutes` or `2.5 hours`."""
    if seconds < 90:
        whole = max(1, round(seconds))
        return f"{whole} second{'s' if whole > 1 else ''}"
    return f"{seconds / 60:.0f} minutes" if seconds < 120 * 60 else f"{seconds / 3600:.1f} hours"


def size(count: int) -> str:
    """Bytes as GB."""
    return f"{count / 1e9:.1f} GB"


def flops(count: int) -> str:
    """Operations such as `512 FLOPs`, `131 kFLOPs` or `17.6 GFLOPs`, with three digits."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= factor:
            return f"{count / factor:#.3g}".rstrip(".") + f" {prefix}FLOPs"
    return f"{count} FLOPs"
