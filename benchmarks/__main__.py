"""python -m benchmarks; workers import this file too, so it imports nothing by itself."""

if __name__ == "__main__":
    from benchmarks.main import main

    main()
