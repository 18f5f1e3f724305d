"""`python -m processors.notifications`: makes a key for web push; prints it with its public half.

The private one goes into VAPID_PRIVATE_KEY; the public one is what pages subscribe with.
"""

from processors.notifications.vapid import parse_vapid
from processors.notifications.webpush import new_private_key, public_key


def main() -> None:
    key = new_private_key()
    print(f"VAPID_PRIVATE_KEY={key}")
    print(f"applicationServerKey: {public_key(parse_vapid(key, 'mailto:nobody@example.com'))}")


if __name__ == "__main__":
    main()
