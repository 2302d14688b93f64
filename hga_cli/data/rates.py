"""Missing rates: how they are written, and what can be reached."""

import re
from collections.abc import Mapping

from hga_cli.core.combinations import Combination
from hga_cli.core.errors import UsageError, suggestion

SHARES = "write shares, 0.2 for 20 %"
DIGIT = r"\d(?:p\d)?"


def parse_rates(rates: Mapping[str, float] | str, digits: Combination) -> dict[str, float]:
    """Return the missing rate of each modality.

    Args:
        rates: a mapping, or text: ``mr2468`` (tenths, one digit per modality in the order ``digits``; ``9p5`` is 0.95)
            or ``t1=0.2,t2=0.8`` (modalities that are not named miss nothing).
        digits: the modalities, in the order of the digits.

    Raises:
        UsageError: unreadable, an unknown modality, or a rate that is not in [0, 1).
    """
    if isinstance(rates, str):
        rates = _parsed(rates, digits)
    for modality, rate in rates.items():
        if modality not in digits:
            message = f"no modality called '{modality}'"
            raise UsageError(message, hint=suggestion(modality, digits))
        if not 0 <= rate < 1:
            message = f"missing rate of {modality} is {rate:g}, expected 0 <= rate < 1"
            raise UsageError(message, hint=f"{SHARES}; a modality nobody has is no modality")
    return {modality: float(rates.get(modality, 0.0)) for modality in digits}


def rates_name(rates: Mapping[str, float]) -> str:
    """Return the short form, ``mr2468`` or ``mr009p50``; ``mr_t1-0.125_...`` where a rate is not whole hundredths.

    Args:
        rates: in the order of the digits.
    """
    hundredths = [round(rate * 100) for rate in rates.values()]
    if all(abs(rate * 100 - number) < 1e-9 for rate, number in zip(rates.values(), hundredths, strict=True)):
        return "mr" + "".join(f"{number // 10}p{number % 10}".removesuffix("p0") for number in hundredths)
    return "mr_" + "_".join(f"{modality}-{rate:g}" for modality, rate in rates.items())


def rates_in_words(rates: Mapping[str, float]) -> str:
    """Return ``mr2468: t1 0.2, t1ce 0.4, flair 0.6, t2 0.8``."""
    return f"{rates_name(rates)}: " + ", ".join(f"{modality} {rate:g}" for modality, rate in rates.items())


def most_possible(modalities: int) -> float:
    """Return the highest mean missing rate that units which keep at least one of M modalities can have."""
    return (modalities - 1) / modalities


def _parsed(text: str, digits: Combination) -> dict[str, float]:
    if re.fullmatch(rf"mr(?:{DIGIT})+", text):
        numbers = re.findall(DIGIT, text)
        if len(numbers) != len(digits):
            message = f"'{text}' has {len(numbers)} digits, expected {len(digits)}: {', '.join(digits)}"
            raise UsageError(message, hint="or name the modalities: " + ",".join(f"{name}=0.5" for name in digits))
        return {
            name: float(number.replace("p", "")) / 10 ** (1 + ("p" in number))
            for name, number in zip(digits, numbers, strict=True)
        }
    rates = {}
    for part in text.split(","):
        name, equals, number = part.partition("=")
        if name.strip() in rates:
            message = f"the rate of {name.strip()} is given twice"
            raise UsageError(message, hint="name each modality once")
        try:
            rates[name.strip()] = float(number)
        except ValueError:
            equals = ""
        if not equals:
            message = f"cannot read the rate '{part}'"
            example = f"--rates {digits[0]}=0.2,{digits[-1]}=0.8 or --rates mr" + "2" * len(digits)
            raise UsageError(message, hint=f"name modalities and {SHARES}: {example}")
    return rates
