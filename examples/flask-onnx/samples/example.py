import sys


def main() -> int:
    for name in sys.argv[1:]:
        print(f"Hello, {name}!")
    return 0


if __name__ == "__main__":
    sys.exit(main())
