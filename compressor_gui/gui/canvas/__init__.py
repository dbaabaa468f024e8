"""The graph: geometry (scene), painting (painter), the widget (view), and the panel that holds one or two of them."""
