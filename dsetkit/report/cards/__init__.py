"""What a snapshot says of itself to people and machines: ``README.md`` and ``croissant.json``.

``files`` puts both together and checks them, over ``readme`` (with ``header`` and ``composition``) and ``croissant``
(with ``records``), over ``licenses`` and ``text``.
"""
