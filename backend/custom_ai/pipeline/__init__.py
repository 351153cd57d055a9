"""The story, top to bottom.

    look      what do people say in Label Studio? count, and decide          (webhook, tick, button)
    train     a run becomes a snapshot, four candidates, and an open vote    (queue "train")
    vote      ballots, the count, promotion and its taking back              (pages, REST)
    label     which tasks are to be pre-labelled, and by which model         (pages, REST, look)
    auto_label  the model pre-labels them                                   (queue "default")
    predict   one task that somebody has just opened                         (web)
    tick      what was lost is found                                         (every minute)

Each step reads a row, does the work, writes a row and rings for the next. Nothing here imports
Flask, RQ or torch: see ``services`` for what is handed in.
"""
