"""Data for every template, as its job gives it, and as much of it as the template takes."""

from collections.abc import Mapping
from types import MappingProxyType

APP = "https://app.imobibase.com"
PIX_CODE = (
    "00020126580014br.gov.bcb.pix0136123e4567-e12b-12d1-a456-426655440000"
    "52040000530398654071550.005802BR5915IMOBILIARIA SOL6009SAO PAULO62070503***63041D3D"
)
HOME = "Rua das Laranjeiras, 100, apto. 72, Vila Mariana, São Paulo - SP, 04101-300"

SAMPLES: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "welcome": {"userName": "Ana", "loginUrl": f"{APP}/login"},
        "password-reset": {
            "resetUrl": f"{APP}/reset-password?token=6f1ed002ab5595859014ebf0951522d9",
            "expiresIn": "1 hour",
            "userName": "Ana",
        },
        "verification": {
            "verificationUrl": f"{APP}/verify-email?token=6f1ed002ab5595859014ebf0951522d9",
            "userName": "Ana",
        },
        "invoice": {
            "invoiceNumber": "INV-012345",
            "amount": "2130.00",
            "dueDate": "2025-01-31",
            "downloadUrl": f"{APP}/downloads/6f1ed002ab55",
            "issueDate": "2025-01-20T15:00:00Z",
            "clientName": "José da Conceição",
            "clientAddress": HOME,
            "clientEmail": "jose@example.com",
            "clientPhone": "+55 11 99999-0000",
            "propertyAddress": HOME,
            "items": [
                {
                    "description": "Aluguel",
                    "details": "janeiro de 2025",
                    "quantity": "1.000",
                    "unitPrice": "1550.00",
                    "total": "1550.00",
                },
                {"description": "Condomínio", "total": "480.00"},
                {"description": "IPTU", "details": "parcela 1 de 10", "total": "120.00"},
                {
                    "description": "Chaves",
                    "quantity": 2,
                    "unitPrice": "15.00",
                    "total": "30.00",
                },
                {"description": "Desconto por pontualidade", "total": "-50.00"},
            ],
            "subtotal": "2180.00",
            "discount": "50.00",
            "tax": "0.00",
            "total": "2130.00",
            "paymentMethod": "PIX",
            "paymentInstructions": "Pague pelo aplicativo do seu banco.\nO boleto não é enviado.",
            "paymentUrl": f"{APP}/pay/6f1ed002ab55",
            "pixCode": PIX_CODE,
            "notes": "Depois do vencimento, multa de 2% e juros de 1% ao mês.",
        },
        "report-ready": {
            "reportType": "monthly",
            "period": "01/01/2025 a 31/01/2025",
            "downloadUrl": f"{APP}/downloads/6f1ed002ab55",
            "generatedAt": "2025-02-01T11:00:12Z",
        },
        "export-ready": {
            "exportType": "all",
            "format": "zip",
            "downloadUrl": f"{APP}/downloads/6f1ed002ab55",
            "expiresIn": "7 days",
            "generatedAt": "2025-02-01T11:00:12Z",
        },
        "payment-reminder": {
            "renterName": "José da Conceição",
            "propertyAddress": HOME,
            "rentAmount": "1550.00",
            "dueDate": "2025-01-31",
            "message": "Faltam 3 dias para o vencimento do seu aluguel.",
            "pixKey": "123e4567-e12b-12d1-a456-426655440000",
            "pixCode": PIX_CODE,
            "paymentUrl": f"{APP}/pay/6f1ed002ab55",
        },
        "payment-overdue": {
            "renterName": "José da Conceição",
            "propertyAddress": HOME,
            "rentAmount": "1550.00",
            "dueDate": "2025-01-31",
            "daysOverdue": 30,
            "isFinalNotice": True,
            "message": "Até agora não identificamos o pagamento.",
            "pixKey": "123e4567-e12b-12d1-a456-426655440000",
            "pixCode": PIX_CODE,
            "paymentUrl": f"{APP}/pay/6f1ed002ab55",
        },
        "contract-expiring": {
            "renterName": "José da Conceição",
            "propertyAddress": HOME,
            "endDate": "2025-03-02",
            "daysLeft": 30,
        },
        "property-inquiry": {
            "brokerName": "Beatriz",
            "leadName": "Carlos Souza",
            "leadPhone": "+55 11 98888-7777",
            "leadEmail": "carlos@example.com",
            "propertyTitle": "Apartamento de 2 quartos na Vila Mariana",
            "message": "Bom dia!\n\nO apartamento aceita animais? Posso visitar no sábado?",
        },
        "newsletter": {
            "title": "Os bairros que mais se valorizaram em 2025",
            "body": (
                "O ano terminou com alta de 7,5% no preço médio do metro quadrado.\n\n"
                "Reunimos os cinco bairros que mais cresceram e o que explica cada caso."
                f" Leia em {APP}/blog/bairros.\n\nUm abraço,\nEquipe"
            ),
            "unsubscribeUrl": f"{APP}/newsletter/cancelar?token=6f1ed002ab55",
        },
    }
)
