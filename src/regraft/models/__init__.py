"""Models as folders: which base models are accepted, how an encoder is loaded, what answers when served."""
