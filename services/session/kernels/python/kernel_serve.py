"""What is prepared, and the loop that takes commands."""


def in_child():
    state.child = True
    for descriptor in (commands, words):
        try:
            os.close(descriptor)
        except OSError:
            pass


def wait_idle():
    """Until there is a command; what cells have started on the loop goes on meanwhile."""
    loop = state.loop
    if loop is None or loop.is_closed() or b"\n" in state.held:
        return
    import asyncio

    if not asyncio.all_tasks(loop):
        return
    loop.add_reader(commands, loop.stop)
    try:
        loop.run_forever()
    finally:
        loop.remove_reader(commands)


def prepare():
    os.environ["PYTHONUNBUFFERED"] = "1"  # of what cells start; here a line goes when it is whole
    sys.stdout.reconfigure(line_buffering=True)
    signal.signal(signal.SIGINT, on_interrupt)
    os.register_at_fork(after_in_child=in_child)
    for module, hook in after_import.items():
        if module in sys.modules:
            hook(sys.modules[module])
    sys.meta_path.insert(0, Finder())
    sys.meta_path.append(Shim)
    sys.stdin = Input()
    builtins.input = read_input
    builtins.display = display
    builtins.In, builtins.Out = In, Out
    builtins.get_ipython = lambda: part("magics").shell
    try:
        import faulthandler

        faulthandler.enable(2)
    except Exception:
        pass


def serve():
    while True:
        try:
            wait_idle()
            command = next_command()
            if command["do"] == "run":
                run(command)
            elif command["do"] != "answer":
                answer(command)
        except KeyboardInterrupt:
            state.cell = None


prepare()
say({"say": "ready"})
serve()
