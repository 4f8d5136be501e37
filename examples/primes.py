"""Prints the primes below a limit (100, or the first argument), and how many they are."""

import sys


def primes_below(limit):
    """The sieve of Eratosthenes: strikes out the multiples of every prime found."""
    is_prime = [False, False] + [True] * max(0, limit - 2)
    for number in range(2, int(limit**0.5) + 1):
        if is_prime[number]:
            for multiple in range(number * number, limit, number):
                is_prime[multiple] = False
    return [number for number in range(limit) if is_prime[number]]


limit = int(sys.argv[1]) if len(sys.argv) > 1 else 100
primes = primes_below(limit)
print(*primes)
print(f"{len(primes)} primes below {limit}")
